"""What a coordinator and a site both know of a deployment: the kit, the environment of Flower's programs, loopback.

It imports storage and below.
"""
