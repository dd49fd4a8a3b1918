# -*- coding: utf-8 -*-
# a comment with ünïcode


"""A docstring: ß."""

"ß" + 1
