"""What every HTTP door needs: a listening socket, and request bodies of bounded size."""
