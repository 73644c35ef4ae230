"""The lag dashboard: pages, a JSON API and /metrics over one sampler (docs/dashboard.md)."""
