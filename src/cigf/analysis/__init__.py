"""What a trained model does inside, and for whom it works: plain tables from models and data."""
