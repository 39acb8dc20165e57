"""Tests of the whole platform.

``unit`` has the domain, use cases and routes over in-memory ports; ``contract`` one class per port, run against every
adapter; ``integration`` real processes; ``e2e`` what the README says; ``architecture`` the rules of this code itself.
"""
