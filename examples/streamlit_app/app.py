"""Entry point: ``streamlit run app.py``."""

import streamlit as st
from hours import logs

logs.set_up()
st.set_page_config(page_title="Hours", page_icon="⏱️", layout="wide")

page = st.navigation(
    [
        st.Page("views/overview.py", title="Overview", icon=":material/insights:", default=True),
        st.Page("views/book.py", title="Book hours", icon=":material/edit_calendar:"),
        st.Page("views/reports.py", title="Reports", icon=":material/receipt_long:"),
        st.Page("views/visit.py", title="This visit", icon=":material/fingerprint:"),
    ]
)
page.run()
