"""`ardm export`: a trained model for people who do not use this package."""
