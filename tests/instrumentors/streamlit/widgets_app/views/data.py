import time
from collections.abc import Iterator

import altair as alt
import pandas as pd
import streamlit as st

TABLE = pd.DataFrame({"name": ["a", "b", "c"], "value": [1, 3, 2]})


@st.cache_data
def slowly(number: int) -> int:
    time.sleep(0.05)
    return number * number


@st.cache_resource
def resource() -> dict[str, int]:
    return {"made": 1}


def words() -> Iterator[str]:
    yield from ("written ", "word ", "by ", "word")


st.title("Data")
left, right = st.columns(2)
with left:
    st.dataframe(TABLE, on_select="rerun", key="rows")
    st.data_editor(TABLE, key="edited")
    st.table(TABLE)
    st.json({"a": [1, 2]})
    st.metric("Metric", 42, delta=2)
    st.write("cached", slowly(3), slowly(3), slowly(4), resource()["made"])
    with st.status("Status", expanded=True) as status:
        st.write("working")
        status.update(label="Status: done", state="complete")
with right:
    st.bar_chart(TABLE, x="name", y="value")
    st.altair_chart(alt.Chart(TABLE).mark_line().encode(x="name", y="value"))
    st.code("print('code')")
    st.latex("a^2 + b^2 = c^2")
    st.html("<b>html</b>")
    st.markdown(":blue[markdown]")
    st.write_stream(words)
    st.progress(0.5, "Progress")
    with st.spinner("Spinning"):
        time.sleep(0.05)
    if st.button("Toast"):
        st.toast("A toast")
    if st.button("Forget"):
        st.cache_data.clear()
        st.rerun()
