import streamlit as st
from counting import count_fragment

state = st.session_state
TICKS = 3


@st.fragment
def clicks() -> None:
    count_fragment("clicks")
    if st.button("In the fragment"):
        state.clicks = state.get("clicks", 0) + 1
    st.write("clicks", state.get("clicks", 0))
    if st.button("Fragment again") and not state.get("again"):
        state.again = True
        st.rerun(scope="fragment")
    if st.button("From the fragment the whole"):
        st.rerun()


@st.fragment(run_every=0.4 if state.get("ticks", 0) < TICKS else None)
def ticking() -> None:
    count_fragment("ticking")
    state.ticks = state.get("ticks", 0) + 1
    st.write("ticking until", TICKS)
    if state.ticks == TICKS:
        st.rerun()


@st.fragment(parallel=True)
def beside(name: str) -> None:
    count_fragment(f"beside {name}")
    st.write("beside", name, st.checkbox(f"Beside {name}"))


@st.dialog("A dialog")
def ask() -> None:
    count_fragment("dialog")
    st.write("answer", st.text_input("Answer", key="answer"))
    if st.button("Close the dialog"):
        st.rerun()


st.title("Fragments")
clicks()
ticking()
beside("one")
beside("two")
if st.button("Ask"):
    ask()
