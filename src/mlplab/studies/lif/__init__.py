"""The leaky integrate-and-fire neuron: mathematics, pictures and study."""
