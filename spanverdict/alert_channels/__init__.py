"""Channels: how a message leaves. Each kind writes it in its own form; one sender carries what goes over HTTP."""
