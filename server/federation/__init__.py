"""The coordinator of a federation of separate sites: its folder, its authority over keys, its server, its runs.

``folder`` says where things lie, ``setup`` makes them: ``ca`` certificates, ``kit`` what a site is sent, ``registry``
which keys may come in. ``superlink`` and ``proxy`` are the programs that sites reach; ``supervisor`` runs them.
"""
