"""Book hours with a form; take bookings back."""

from datetime import date

import streamlit as st
from hours import booking, queries

st.title("Book hours")

if saved := st.session_state.pop("saved", None):
    st.success(saved, icon=":material/check_circle:")

people = {row.name: row.id for row in queries.people().itertuples(index=False)}
who = st.selectbox("Who are you?", people, index=None, placeholder="Choose your name", key="who", width=420)
if who is None:
    st.info("Choose your name to book hours and to see what you have booked.", icon=":material/person:")
    st.stop()

left, right = st.columns([2, 3], gap="large")
with left, st.form("booking", clear_on_submit=True):
    projects = {row.name: row.id for row in queries.projects().itertuples(index=False)}
    project = st.selectbox("Project", projects, key="project")
    day = st.date_input("Day", date.today(), max_value=date.today(), key="day")
    hours = st.number_input("Hours", min_value=0.25, max_value=12.0, value=4.0, step=0.25, key="hours")
    note = st.text_input("Note", max_chars=booking.MAX_NOTE_CHARS, key="note")
    if st.form_submit_button("Book", type="primary", key="book"):
        if not note.strip():
            st.error("Say in a few words what you did.", icon=":material/error:")
        else:
            booking.book(people[who], projects[project], day, hours, note)
            st.session_state["saved"] = f"{hours:g} hours on “{project}” are booked."
            st.rerun()

with right:
    st.subheader("Your newest bookings")
    for line in booking.lines_of(people[who]):
        with st.container(border=True, horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{line.project}** · {line.hours:g} h · {line.day:%d %b}  \n{line.note}")
            st.button(
                "Take back",
                icon=":material/undo:",
                type="tertiary",
                key=f"back-{line.id}",
                on_click=booking.take_back,
                args=(line.id,),
            )
    if st.button("To the overview", icon=":material/insights:", key="to-overview"):
        st.switch_page("views/overview.py")
