"""A site's own model, made at the site after a run and kept there. It imports the app, from the site's own copy; its
command also imports the node's wings.
"""
