"""What leaves the hospital: one contract, one envelope, one archive; pure functions over bytes."""
