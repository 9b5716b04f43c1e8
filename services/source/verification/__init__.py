"""Who signed an artifact of a registry? What `spec.verify` of OCIRepository and HelmChart asks.

    verifier = SpecVerifier(referenced_secrets, SignatureVerifier())    one for the whole service
    artifact = SignedArtifact("ghcr.io/team/app", "sha256:…", media_type, size)    of its manifest
    await verifier.verify(artifact, registry, spec.verify, namespace=…, fresh=…)   [Verified, …]

`registry` is an `interface.RegistryReader`: three questions about one repository. A
VerificationFailed tells the user what is wrong, and names the provider (`provider_of`); the caller
makes it SourceVerified=False, VerificationError. What the reader raises ends the run as it is.

Start reading at `signature_verifier`; `cosign` and `notation` are the two kinds of signatures. All
that decides is offline: nobody but the registry is asked, except that the trusted root of the
public-good Sigstore is renewed once a day (`public_good`), if no other root is named.
"""
