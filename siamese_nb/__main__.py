"`python -m siamese_nb COMMAND …`: the commands of `siamese_nb.cli`"
from siamese_nb.cli import main

if __name__ == '__main__': main()
