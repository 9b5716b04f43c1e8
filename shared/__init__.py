"""What at least two services stand on. It knows none of them."""
