"""Where the hours go: filters, key figures, weeks, budgets, and what was booked just now."""

import os

import streamlit as st
from hours import queries

st.title("Where the hours go")

with st.sidebar:
    st.subheader("Filters")
    weeks = st.segmented_control("Weeks", [4, 8, 12], default=8, key="weeks")
    found = queries.bookings(weeks or 12)
    clients = st.multiselect("Clients", sorted(found["client"].unique()), placeholder="All clients", key="clients")
    billable = st.toggle("Billable hours only", key="billable")

if clients:
    found = found[found["client"].isin(clients)]
if billable:
    found = found[found["rate_eur"].notna()]
if found.empty:
    st.info("No hours match these filters.", icon=":material/filter_alt_off:")
    st.stop()

found = found.assign(paid=found["hours"].where(found["rate_eur"].notna(), 0))
by_week = found.groupby("week").agg(
    hours=("hours", "sum"), revenue=("revenue_eur", "sum"), paid=("paid", "sum"), people=("person", "nunique")
)
figures = [
    ("Hours", f"{found['hours'].sum():,.0f}", by_week["hours"]),
    ("Revenue", f"{found['revenue_eur'].sum():,.0f} €", by_week["revenue"]),
    ("Billable", f"{found['paid'].sum() / found['hours'].sum():.0%}", by_week["paid"] / by_week["hours"]),
    ("People", found["person"].nunique(), by_week["people"]),
]
for column, (label, value, trend) in zip(st.columns(4), figures, strict=True):
    column.metric(label, value, border=True, chart_data=trend.tolist(), chart_type="area")

left, right = st.columns([3, 2], gap="large")
with left:
    st.subheader("Hours a week")
    weekly = found.groupby(["week", "client"], as_index=False)["hours"].sum()
    weekly["week"] = weekly["week"].dt.strftime("%d %b")
    st.bar_chart(weekly, x="week", y="hours", color="client", x_label="", y_label="", sort=False, height=300)
with right:
    st.subheader("By person")
    people = found.groupby("person", as_index=False)["hours"].sum()
    st.bar_chart(people, x="person", y="hours", x_label="", y_label="", horizontal=True, height=300)

st.subheader("Budgets")
budgets = queries.projects()
if clients:
    budgets = budgets[budgets["client"].isin(clients)]
budgets = budgets.assign(used=100 * budgets["hours"] / budgets["budget_hours"])
st.dataframe(
    budgets,
    hide_index=True,
    column_order=["name", "client", "hours", "budget_hours", "used"],
    column_config={
        "name": "Project",
        "client": "Client",
        "hours": st.column_config.NumberColumn("Hours", format="%.0f"),
        "budget_hours": st.column_config.NumberColumn("Budget", format="%d h"),
        "used": st.column_config.ProgressColumn("Used", format="%.0f%%", min_value=0, max_value=100),
    },
)


@st.fragment(run_every=float(os.environ.get("HOURS_LIVE_S", "10")))
def just_booked() -> None:
    """Runs by itself every few seconds, without the rest of the page."""
    st.subheader("Booked just now")
    st.dataframe(
        queries.newest(),
        hide_index=True,
        column_config={
            "who": "Who",
            "what": "Project",
            "hours": st.column_config.NumberColumn("Hours", format="%.2f"),
            "note": "Note",
        },
    )
    st.button("Look again", icon=":material/refresh:", type="tertiary", key="look-again")


just_booked()
