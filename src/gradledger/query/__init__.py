"""Ask the records of a run: one file per question, SQL nowhere else."""

from gradledger.query.answer import KINDS, Answer, Column, Table
from gradledger.query.answer_json import answer_from_json, answer_to_json
from gradledger.query.books import books
from gradledger.query.decide import decide, decisions
from gradledger.query.follow import UNITS, follow
from gradledger.query.inert import inert
from gradledger.query.info import info
from gradledger.query.matrix import matrix
from gradledger.query.measures import MEASURES
from gradledger.query.policy_check import check_policy
from gradledger.query.policy_diff import diff_policies
from gradledger.query.policy_explain import explain_example, explain_record
from gradledger.query.policy_simulate import simulate_policy
from gradledger.query.ranking import ORDERS
from gradledger.query.records import Records, open_records
from gradledger.query.steps import steps
from gradledger.query.timeline import timeline
from gradledger.query.trace import trace

__all__ = [
    "KINDS",
    "MEASURES",
    "ORDERS",
    "UNITS",
    "Answer",
    "Column",
    "Records",
    "Table",
    "answer_from_json",
    "answer_to_json",
    "books",
    "check_policy",
    "decide",
    "decisions",
    "diff_policies",
    "explain_example",
    "explain_record",
    "follow",
    "inert",
    "info",
    "matrix",
    "open_records",
    "simulate_policy",
    "steps",
    "timeline",
    "trace",
]
