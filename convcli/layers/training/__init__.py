"""What training needs of layers: networks that learn, and their gradients."""
