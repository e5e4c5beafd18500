"""Users, their deals, and what belongs to a deal."""

from datetime import date

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

STAGES = ("lead", "proposal", "negotiation", "won", "lost")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(120), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    password_hash: Mapped[str] = mapped_column(String(255))
    deals: Mapped[list["Deal"]] = relationship(back_populates="owner")


class Deal(Base):
    """Something we hope to sell; ``score`` (0-100) is worked out in the background."""

    __tablename__ = "deals"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(120))
    client: Mapped[str] = mapped_column(String(120))
    stage: Mapped[str] = mapped_column(String(20))
    value_eur: Mapped[int]
    score: Mapped[int | None]
    created_on: Mapped[date] = mapped_column(default=date.today)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    owner: Mapped[User] = relationship(back_populates="deals")
    notes: Mapped[list["Note"]] = relationship(back_populates="deal", order_by="Note.id")
    positions: Mapped[list["Position"]] = relationship(back_populates="deal", order_by="Position.id")


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str] = mapped_column(Text)
    written_on: Mapped[date] = mapped_column(default=date.today)
    author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    deal_id: Mapped[int] = mapped_column(ForeignKey("deals.id"))
    author: Mapped[User] = relationship()
    deal: Mapped[Deal] = relationship(back_populates="notes")


class Position(Base):
    """One line of an offer: a role, for some days, at a day rate."""

    __tablename__ = "positions"

    id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(String(80))
    days: Mapped[int]
    day_rate_eur: Mapped[int]
    deal_id: Mapped[int] = mapped_column(ForeignKey("deals.id"))
    deal: Mapped[Deal] = relationship(back_populates="positions")
