"""Training and ranking on several ranks: processes of one machine or of many.

Users and items are partitioned over the ranks. Each rank holds its own nodes' rows of the
embeddings, of the optimizer's state and of the graphs, and gathers the others' vectors where a
layer reads them. The model's own code knows nothing of it.
"""
