"""A made-up corpus: voices that no person has, emotions that no person felt, in the folders of a real corpus.

Follow one utterance: ``corpus`` takes it from the list that ``layouts`` deals out, ``voice`` says who speaks,
``emotion`` how, ``phones`` and ``prosody`` what and along which curves, ``glottis`` and ``tract`` make it sound,
``room`` adds the place, and ``corpus`` writes it to disk beside the layout's labels and the marker ``SYNTHETIC.json``.
"""
