"""Ask the records of a run: one file per question, SQL nowhere else."""

from gradledger.query.answer import KINDS, Answer, Column, Table
from gradledger.query.answer_json import answer_from_json, answer_to_json
from gradledger.query.books import books
from gradledger.query.candidates import Sought, Texts
from gradledger.query.capability import UNIT_KEYS, capabilities, capability
from gradledger.query.choice import choose, cost_of_executing
from gradledger.query.commitments import find_content, keyed_values, sources_of
from gradledger.query.compare import compare
from gradledger.query.content import item_digest, read_items
from gradledger.query.decide import decide, decisions
from gradledger.query.derivatives import needed_derivatives, stored_derivatives
from gradledger.query.diff import diff
from gradledger.query.effects import effects
from gradledger.query.estimators import ESTIMATORS, HOW
from gradledger.query.examples import describe, examples
from gradledger.query.exclude import exclude
from gradledger.query.explanations import explain, stored_explanation
from gradledger.query.first_use import first_use
from gradledger.query.follow import UNITS, follow
from gradledger.query.inert import inert
from gradledger.query.influence import influence, with_executed
from gradledger.query.info import info
from gradledger.query.intervals import SETTLED
from gradledger.query.intervention import OPERATIONS, Resolved, Selection, as_filters, resolve
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
from gradledger.query.progress import progress
from gradledger.query.ranking import ORDERS
from gradledger.query.read_text import checked_span, read_text, text_name
from gradledger.query.records import Records, open_records, write_sorted_copies
from gradledger.query.remains import (
    Elsewhere,
    copies,
    named_rows,
    other_models,
    search_runs,
    states_after,
)
from gradledger.query.replay_plan import replay_plan
from gradledger.query.replayed import replayed
from gradledger.query.replays import MODEL_FILE, replays_folder, result_folder, stored_result
from gradledger.query.runs import runs
from gradledger.query.sampled_removals import (
    Sampled,
    agreement,
    check_place,
    draw_examples,
    stored_check,
)
from gradledger.query.selection import DECISION_KEYS, metadata_columns, selected_examples, words
from gradledger.query.settled import settled
from gradledger.query.states import states, thinned
from gradledger.query.steps import steps
from gradledger.query.stored_states import stored_steps
from gradledger.query.timeline import timeline
from gradledger.query.trace import trace
from gradledger.query.visits import visits
from gradledger.query.whatif import whatif

__all__ = [
    "DECISION_KEYS",
    "ESTIMATORS",
    "HOW",
    "KINDS",
    "MEASURES",
    "MODEL_FILE",
    "OPERATIONS",
    "ORDERS",
    "SETTLED",
    "UNITS",
    "UNIT_KEYS",
    "Answer",
    "Column",
    "Elsewhere",
    "Records",
    "Resolved",
    "Sampled",
    "Selection",
    "Sought",
    "Table",
    "Texts",
    "agreement",
    "allowed",
    "answer_from_json",
    "answer_to_json",
    "as_filters",
    "books",
    "capabilities",
    "capability",
    "check_place",
    "check_policy",
    "checked_span",
    "choose",
    "compare",
    "copies",
    "cost_of_executing",
    "decide",
    "decisions",
    "decisions_on",
    "describe",
    "diff",
    "diff_policies",
    "draw_examples",
    "effects",
    "examples",
    "exclude",
    "explain",
    "explain_example",
    "explain_record",
    "find_content",
    "first_use",
    "follow",
    "inert",
    "influence",
    "info",
    "item_digest",
    "keyed_values",
    "matrix",
    "metadata_columns",
    "named_rows",
    "needed_derivatives",
    "open_records",
    "orphans",
    "other_models",
    "places",
    "policies",
    "policy_digests",
    "progress",
    "read_items",
    "read_text",
    "replay_plan",
    "replayed",
    "replays_folder",
    "resolve",
    "result_folder",
    "runs",
    "search_runs",
    "selected_examples",
    "settled",
    "simulate_policy",
    "sources_of",
    "states",
    "states_after",
    "steps",
    "stored_check",
    "stored_derivatives",
    "stored_explanation",
    "stored_result",
    "stored_steps",
    "text_name",
    "thinned",
    "timeline",
    "trace",
    "verdict_counts",
    "visits",
    "whatif",
    "with_executed",
    "words",
    "write_sorted_copies",
]
