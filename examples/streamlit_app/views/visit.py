"""The one page that knows of otel_session, and does without it: who this browser is to the telemetry."""

import streamlit as st

st.title("This visit")

try:
    import otel_session
    from otel_session import streamlit as telemetry
except ImportError:
    st.info("Install otel-session, and start the app with it, to see your session here.", icon=":material/info:")
    st.stop()

session_id = otel_session.current_session()
if session_id is None:
    st.info("This app was not started with opentelemetry-instrument.", icon=":material/info:")
    st.stop()

left, right = st.columns(2, gap="large")
with left, st.container(border=True):
    st.subheader("Your session")
    st.caption("The same after a refresh, in a second tab, and after the server was restarted; another one elsewhere.")
    st.code(session_id, language=None)
with right, st.container(border=True):
    st.subheader("This rerun")
    st.caption("Another one each time that the script runs. Give it to whoever has to find out what went wrong.")
    st.code(otel_session.get_correlation_id(), language=None)

st.subheader("See what it did")
st.code(f"otel-session show {session_id}", language="bash")
telemetry.panel()
