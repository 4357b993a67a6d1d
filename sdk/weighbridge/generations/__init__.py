"""Projects that are released as packages and trained in generations, kept in models, versions and
checkpoints. What `weighbridge.forml` and `weighbridge forml import` share; ForML itself is not needed."""
