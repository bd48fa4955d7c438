"""`ray up` files, machines, node hours and preflight."""
