"""Which methods and models take part, their configurations and predicted costs."""
