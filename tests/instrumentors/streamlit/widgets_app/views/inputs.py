from datetime import date, datetime, time

import streamlit as st

state = st.session_state


def count(by: int) -> None:
    state.counted = state.get("counted", 0) + by


st.title("Inputs")
left, right = st.columns(2)
with left:
    st.button("Count", on_click=count, args=(2,), key="count")
    st.write("counted", state.get("counted", 0))
    st.write("button", st.button("Plain button"))
    st.write("text", st.text_input("Text", key="text"))
    st.write("area", st.text_area("Area"))
    st.write("number", st.number_input("Number", 0, 10, 3, on_change=count, args=(10,)))
    st.write("float", st.number_input("Float", 0.0, 1.0, 0.5, 0.25))
    st.write("slider", st.slider("Slider", 0, 10, 5))
    st.write("range", st.slider("Range", 0.0, 1.0, (0.25, 0.75)))
    st.write("select slider", st.select_slider("Select slider", ["low", "middle", "high"]))
with right:
    st.write("date", st.date_input("Date", date(2026, 3, 14)))
    st.write("time", st.time_input("Time", time(9, 30)))
    st.write("both", st.datetime_input("Date and time", datetime(2026, 3, 14, 9, 30)))
    st.write("colour", st.color_picker("Colour", "#14598f"))
    upload = st.file_uploader("File", key="file")
    st.write("file", upload and (upload.name, upload.size))
    st.download_button("Download", "a,b\n1,2\n", "table.csv")
    st.link_button("Link", "https://example.org/")
    st.page_link("views/choices.py", label="Page link")
    with st.form("form", clear_on_submit=True):
        name = st.text_input("Name")
        agreed = st.checkbox("Agreed")
        sent = st.form_submit_button("Send", on_click=count, args=(100,))
    st.write("form", sent, name, agreed)
    st.audio_input("Audio")
    st.write("chat", st.chat_input("Chat"))
