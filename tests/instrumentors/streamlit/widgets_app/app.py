"""Every kind of widget, page and fragment, and a file in which the script itself counts how often it ran."""

import streamlit as st
from counting import count_run

count_run()
st.set_page_config(page_title="Widgets", layout="wide")
chosen = st.navigation(
    {
        "Widgets": [
            st.Page("views/inputs.py", title="Inputs", default=True),
            st.Page("views/choices.py", title="Choices"),
            st.Page("views/data.py", title="Data"),
            st.Page("views/media.py", title="Media"),
        ],
        "Flow": [
            st.Page("views/fragments.py", title="Fragments"),
            st.Page("views/flow.py", title="Flow"),
            st.Page("views/ends.py", title="Ends"),
        ],
    }
)
st.sidebar.caption(f"Run {st.session_state.runs}")
chosen.run()
