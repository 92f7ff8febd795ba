// Not served: README.md says why this is empty.
