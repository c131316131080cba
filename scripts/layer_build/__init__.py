"""Builds the Lambda layers: wheels, omissions, symbols, bytecode, then one settled tree and one zip a layer.

It is run by the layers' Makefiles, so by `sam build` on whatever Python the machine has: it keeps to the
standard library and to Python 3.9.
"""
