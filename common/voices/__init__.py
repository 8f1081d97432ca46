"""Made-up voices: nobody's, so that everybody can make them."""
