"""spanverdict: did the fine-tuned model regress, for which cohort, and how sure are we?"""
