"""Problems with their exact densities, the Bayes classifier, tables of one's own, and the data modules."""
