"""What a finished run leaves for people and programs, and what every page is made of: matplotlib draws here. It imports
``common``, run and records.
"""
