import streamlit as st

COLOURS = ["red", "green", "blue"]

st.title("Choices")
left, right = st.columns(2)
with left:
    st.write("checkbox", st.checkbox("Checkbox"))
    st.write("toggle", st.toggle("Toggle", value=True))
    st.write("radio", st.radio("Radio", ["one", "two", "three"], horizontal=True))
    st.write("selectbox", st.selectbox("Selectbox", COLOURS, index=None))
    st.write("multiselect", st.multiselect("Multiselect", COLOURS, default=["red"]))
with right:
    st.write("pills", st.pills("Pills", ["tea", "coffee", "water"], selection_mode="multi"))
    st.write("segments", st.segmented_control("Segments", ["day", "week", "year"]))
    st.write("feedback", st.feedback("thumbs"))
    with st.popover("Popover"):
        st.write("inside", st.checkbox("In the popover"))
    with st.expander("Expander", expanded=True):
        st.write("expanded")
    first, second = st.tabs(["First tab", "Second tab"])
    first.write("in the first tab")
    second.write("in the second tab")
