"""A made-up corpus: voices that no person has, emotions that no person felt, in the folders of a real corpus. It
imports ``common``.
"""
