import struct

import streamlit as st
from PIL import Image


def tone() -> bytes:
    """A tenth of a second of silence as a WAV file."""
    data = b"\0\0" * 800
    form = struct.pack("<4s4sIHHIIHH", b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    head = struct.pack("<4sI", b"RIFF", 36 + len(data)) + form + struct.pack("<4sI", b"data", len(data))
    return head + data


st.title("Media")
with st.chat_message("user"):
    st.write("said by the user")
with st.chat_message("assistant"):
    st.write("said by the assistant")
st.image(Image.new("RGB", (2, 2), "red"), caption="Four pixels", width=80)
st.audio(tone())
st.video(b"\0" * 64, format="video/mp4")
st.camera_input("Camera")
st.graphviz_chart("digraph { a -> b }")
st.write("the end of media")
