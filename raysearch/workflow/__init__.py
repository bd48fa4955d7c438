"""Workflows that verbs, routes and notebooks call: values in, values out, nothing printed."""
