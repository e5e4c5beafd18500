import asyncio
import threading

import streamlit as st

state = st.session_state
results = []


async def later() -> str:
    await asyncio.sleep(0.01)
    return "awaited"


st.title("Flow")
thread = threading.Thread(target=lambda: results.append("from a thread"))
thread.start()
thread.join()
st.write(asyncio.run(later()), results[0])
st.write("query", st.query_params.get("step", "-"), "again", state.get("again_runs", 0))
if st.button("Query"):
    st.query_params["step"] = "1"
if st.button("Again"):
    state.again_runs = 2
    st.rerun()
if state.get("again_runs", 0) > 1:
    state.again_runs -= 1
    st.rerun()
if st.button("Switch"):
    st.switch_page("views/ends.py")
