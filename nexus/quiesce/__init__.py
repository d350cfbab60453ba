"""How a Nexus comes to its end on purpose: no new sagas, those at hand finished, the database left alone.

sagas.py     which sagas may be made, and whether more can come (pure)
gate.py      what of that this process knows, and how far it has come
sequence.py  doing it
"""
