"""An application with everything that a rerun can meet. It knows nothing of OpenTelemetry."""

import asyncio
import logging
import threading

import streamlit as st
from sqlalchemy import text

log = logging.getLogger("deals")
log.setLevel(logging.INFO)


def count() -> int:
    with st.connection("deals", type="sql", url="sqlite:///deals.db").engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM deals WHERE id > :low"), {"low": 0}).scalar_one()


async def count_later() -> int:
    await asyncio.sleep(0)
    log.info("counting later")
    return count()


@st.cache_data
def worked_out(number: int) -> int:
    return number * 2


@st.cache_resource
def model() -> object:
    return object()


def greet() -> None:
    st.session_state["greeted"] = st.session_state.get("greeted", 0) + 1
    log.info("greeting")


def fail() -> None:
    raise KeyError("callback")


@st.fragment(run_every=600)
def panel() -> None:
    if st.button("Look", key="look"):
        log.info("looked")
    if st.button("Break", key="break"):
        raise RuntimeError("in a fragment")
    if st.button("Once more", key="more"):
        st.rerun(scope="fragment")
    st.write("panel")


def home() -> None:
    log.info("home")
    name = st.text_input("Name", key="name")
    st.write(f"hello {name} {worked_out(3)} {st.session_state.get('greeted', 0)}")
    model()
    st.button("Greet", key="greet", on_click=greet)
    st.button("Fail", key="fail", on_click=fail)
    with st.form("order"):
        st.number_input("Amount", key="amount", value=1.0)
        st.text_input("Note", key="note")
        st.form_submit_button("Order")
    if st.button("Count", key="count"):
        st.write(f"{count()} deals")
    if st.button("Later", key="later"):
        st.write(asyncio.run(count_later()))
    if st.button("Thread", key="thread"):
        thread = threading.Thread(target=lambda: log.info("%d by a thread", count()))
        thread.start()
        thread.join()
    if st.button("Save", key="save"):
        with st.connection("deals", type="sql", url="sqlite:///deals.db").session as session:
            session.execute(text("INSERT INTO deals (name) VALUES ('third')"))
            session.commit()
    panel()
    if st.button("Error", key="error"):
        raise ValueError("the secret is 4111")
    if st.button("Stop", key="stop"):
        st.stop()
    if st.button("Again", key="again"):
        st.rerun()
    if st.button("Switch", key="switch"):
        st.switch_page(OTHER)
    st.write("end")


def other() -> None:
    log.info("other")
    st.button("Nothing")
    st.write("another page")


HOME = st.Page(home, title="home", default=True)
OTHER = st.Page(other, title="other", url_path="other")
st.navigation([HOME, OTHER]).run()
