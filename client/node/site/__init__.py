"""The site as processes: its kit, its keys, where its files lie, the trainer, who withdrew.

It imports audit and below.
"""
