"""Two reports: one slow, one with a bug that its first customer will find."""

import logging
import os

import streamlit as st
from hours import queries

log = logging.getLogger("hours.reports")

_WARN_AFTER_S = 0.25


def average_bookings() -> None:
    """Hours of a booking, by project; fails as soon as one project has none."""
    log.info("averaging bookings")
    for row in queries.projects().itertuples(index=False):
        st.write(f"{row.name}: {int(row.hours * 60) // row.bookings} minutes")


st.title("Reports")
left, right = st.columns(2, gap="large")

with left, st.container(border=True):
    st.subheader("Utilisation")
    st.caption("Booked hours against possible ones, twelve weeks. Reads every timesheet: it takes its time.")
    if st.button("Work it out", type="primary", key="utilisation"):
        with st.spinner("Reading every timesheet…"):
            rows, took_s = queries.utilisation(float(os.environ.get("HOURS_SLOW_REPORT_S", "0.4")))
        if took_s > _WARN_AFTER_S:
            log.warning("slow report: %d people took %.2f s", len(rows), took_s)
        st.dataframe(
            rows,
            hide_index=True,
            column_order=["person", "hours", "percent"],
            column_config={
                "person": "Person",
                "hours": st.column_config.NumberColumn("Hours", format="%.0f"),
                "percent": st.column_config.ProgressColumn("Utilisation", format="%.0f%%", min_value=0, max_value=100),
            },
        )

with right, st.container(border=True):
    st.subheader("Average booking")
    st.caption("Minutes of a booking, by project.")
    if st.button("Average", key="average"):
        average_bookings()
