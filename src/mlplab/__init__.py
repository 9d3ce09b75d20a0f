"""mlplab: a research lab for multi-layer perceptrons, from the spiking neuron to the trained network."""
