"""Ask the records of a run: one file per question, SQL nowhere else."""

from gradledger.query.answer import KINDS, Answer, Column, Table
from gradledger.query.answer_json import answer_from_json, answer_to_json
from gradledger.query.books import books
from gradledger.query.candidates import Sought, Texts
from gradledger.query.capability import capabilities, capability
from gradledger.query.commitments import find_content, keyed_values, sources_of
from gradledger.query.content import item_digest, read_items
from gradledger.query.decide import decide, decisions
from gradledger.query.derivatives import needed_derivatives, stored_behaviours
from gradledger.query.diff import diff
from gradledger.query.exclude import exclude
from gradledger.query.first_use import first_use
from gradledger.query.follow import UNITS, follow
from gradledger.query.inert import inert
from gradledger.query.influence import influence, predictions
from gradledger.query.info import info
from gradledger.query.matrix import matrix
from gradledger.query.measures import MEASURES
from gradledger.query.names import allowed
from gradledger.query.orphans import orphans
from gradledger.query.places import decisions_on, places, policy_digests, verdict_counts
from gradledger.query.policies import policies
from gradledger.query.policy_check import check_policy
from gradledger.query.policy_diff import diff_policies
from gradledger.query.policy_explain import explain_example, explain_record
from gradledger.query.policy_simulate import simulate_policy
from gradledger.query.ranking import ORDERS
from gradledger.query.records import Records, open_records
from gradledger.query.replays import replays_folder, stored_result
from gradledger.query.selection import selected_examples, words
from gradledger.query.states import states
from gradledger.query.steps import steps
from gradledger.query.timeline import timeline
from gradledger.query.trace import trace
from gradledger.query.whatif import HOW, in_words, whatif

__all__ = [
    "HOW",
    "KINDS",
    "MEASURES",
    "ORDERS",
    "UNITS",
    "Answer",
    "Column",
    "Records",
    "Sought",
    "Table",
    "Texts",
    "allowed",
    "answer_from_json",
    "answer_to_json",
    "books",
    "capabilities",
    "capability",
    "check_policy",
    "decide",
    "decisions",
    "decisions_on",
    "diff",
    "diff_policies",
    "exclude",
    "explain_example",
    "explain_record",
    "find_content",
    "first_use",
    "follow",
    "in_words",
    "inert",
    "influence",
    "info",
    "item_digest",
    "keyed_values",
    "matrix",
    "needed_derivatives",
    "open_records",
    "orphans",
    "places",
    "policies",
    "policy_digests",
    "predictions",
    "read_items",
    "replays_folder",
    "selected_examples",
    "simulate_policy",
    "sources_of",
    "states",
    "steps",
    "stored_behaviours",
    "stored_result",
    "timeline",
    "trace",
    "verdict_counts",
    "whatif",
    "words",
]
