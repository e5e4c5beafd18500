"""What a user does with each widget of `widgets_app`."""

from collections.abc import Iterator

from tests.browsers import Tab


def use(tab: Tab) -> Iterator[str]:
    """Visit every page and use what is on it; gives the name of each step when it is done."""
    for visit in (_inputs, _choices, _data, _media, _fragments, _flow, _ends):
        yield from (f"{visit.__name__} {step}" for step in visit(tab))


def _inputs(tab: Tab) -> Iterator[str]:
    page = tab.page
    yield "first"
    for button in ("Count", "Plain button"):
        tab.click(button)
        yield button
    tab.act(lambda: (page.get_by_label("Text").fill("some words"), page.keyboard.press("Enter")))
    yield "text"
    tab.act(lambda: (page.get_by_label("Area").fill("two\nlines"), page.keyboard.press("ControlOrMeta+Enter")))
    yield "area"
    tab.act(lambda: (page.get_by_label("Number").fill("7"), page.keyboard.press("Enter")))
    yield "number"
    tab.act(lambda: page.get_by_test_id("stNumberInputStepUp").nth(1).click())
    yield "float"
    for slider in range(4):
        tab.act(lambda slider=slider: page.get_by_role("slider").nth(slider).press("ArrowRight"))
        yield f"slider {slider}"
    upload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"words"}
    tab.act(lambda: page.locator("input[type=file]").first.set_input_files([upload]))
    yield "upload"
    tab.click("Download")
    yield "download"
    page.get_by_label("Name").fill("Ada")
    page.get_by_text("Agreed").click()
    tab.click("Send")
    yield "form"
    chat = page.get_by_placeholder("Your message").or_(page.get_by_test_id("stChatInputTextArea")).first
    tab.act(lambda: (chat.fill("hello"), page.keyboard.press("Enter")))
    yield "chat"
    tab.act(lambda: page.get_by_test_id("stMain").get_by_role("link", name="Page link").click())
    yield "page link"


def _choices(tab: Tab) -> Iterator[str]:
    page = tab.page
    for label in ("Checkbox", "Toggle", "two", "tea", "coffee", "week"):
        tab.act(lambda label=label: page.get_by_test_id("stMain").get_by_text(label, exact=True).first.click())
        yield label
    tab.choose("Selectbox", "green")
    yield "selectbox"
    tab.choose("Multiselect", "green")
    yield "multiselect"
    tab.act(lambda: page.get_by_text("thumb_up").click())
    yield "feedback"
    tab.button("Popover").click()
    tab.act(lambda: page.get_by_text("In the popover").click())
    page.keyboard.press("Escape")
    yield "popover"
    page.get_by_role("tab", name="Second tab").click()
    yield "tab"


def _data(tab: Tab) -> Iterator[str]:
    tab.go("Data")
    yield "first"
    for button in ("Toast", "Forget"):
        tab.click(button)
        yield button


def _media(tab: Tab) -> Iterator[str]:
    tab.go("Media")
    tab.until(lambda: "the end of media" in tab.text())
    yield "first"


def _fragments(tab: Tab) -> Iterator[str]:
    page, text = tab.page, tab.text
    # The ticking one asks for a run of the whole when it has ticked often enough.
    tab.act(lambda: tab.link("Fragments").click(), runs=2)
    yield "ticked"
    tab.button("In the fragment").click()
    tab.until(lambda: "clicks 1" in text())
    yield "in the fragment"
    fragments = tab.fragment_runs
    tab.button("Fragment again").click()
    tab.until(lambda: tab.fragment_runs > fragments)
    yield "fragment again"
    tab.click("From the fragment the whole")
    yield "the whole"
    page.get_by_text("Beside one", exact=True).click()
    tab.until(lambda: "beside one True" in text())
    yield "parallel"
    tab.click("Ask")
    page.get_by_label("Answer").fill("yes")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    tab.until(lambda: "answer yes" in dialog.inner_text())
    yield "dialog"
    tab.act(lambda: dialog.get_by_role("button", name="Close the dialog").click())
    yield "closed"


def _flow(tab: Tab) -> Iterator[str]:
    tab.go("Flow")
    yield "first"
    for button in ("Query", "Again", "Switch"):
        tab.click(button)
        yield button


def _ends(tab: Tab) -> Iterator[str]:
    for button in ("Stop", "Fail", "Caught", "Fail in a callback"):
        tab.click(button)
        yield button
    tab.refresh()
    yield "refreshed"
