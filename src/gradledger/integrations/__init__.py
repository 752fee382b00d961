"""Room ``integrations``: recording inside other people's training loops.

Each is a thin use of the same five calls. Import the one you need:

    from gradledger.integrations.huggingface import LedgerTrainer
    from gradledger.integrations.accelerate import accumulate, batches, prepare
    from gradledger.integrations.lightning import LedgerCallback
"""
