"""What `ray up` files say, machines, node hours and preflight."""
