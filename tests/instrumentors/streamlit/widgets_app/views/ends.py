import streamlit as st
from counting import count_callback


def fail_first() -> None:
    count_callback()
    raise KeyError("in a callback")


st.title("Ends")
stop, fail, caught = st.button("Stop"), st.button("Fail"), st.button("Caught")
st.button("Fail in a callback", on_click=fail_first)
if stop:
    st.write("stopped here")
    st.stop()
if fail:
    raise ValueError("the script fails")
if caught:
    try:
        raise LookupError("caught by the script")
    except LookupError as error:
        st.exception(error)
st.write("the end")
