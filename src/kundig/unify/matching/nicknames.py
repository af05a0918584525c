"""Given names and the short or foreign forms they go by; who is called by one of a line may be called by another of it."""

from __future__ import annotations

_LINES = """
albert al bert berti albrecht
alexander alex sascha sasha alexandra sandra xander aleksander aleksandr aleksandra lex
alfred fred alf fredi
andreas andi andy andrea anders andrei andrej andrew andre drew
angelika angela geli angie angelica
anna anne anni annie hanna hannah ann anja anika annika anke nan nancy
anton toni tony antonio anthony antonia antoine
barbara babs barbel barbi bab
benjamin ben benni benny
bernhard bernd berni bernard bernie
brigitte gitte biggi birgit brigit gitti
catherine cathy kate katie kathryn kathleen kit
charles charlie chuck karl carl carlos karol
christian chris christoph christof christopher christa christiane kristian krishan
christina christine tina chrissi kristina kristin kirsten christel
claudia claudi
cornelia conny connie nele
daniel dani danny dan daniela danielle
david dave davy
dieter dietrich dietmar didi
dmitri dima dimitri dmitry dmitrij
dorothea doro dorothee dora thea dorothy dolly dot
edward ed eddie ted ned eduard edi edgar
eleanor ella ellen nell nora leonore lenore eleonore
elisabeth lisa elise lise betty elli else elsa ilse lisbeth sissi elizabeth liz lizzie beth bess eliza elspeth libby liesl
emilie emily emilia emmy emma
erich eric erik
ernst ernest ernie erni
eugen eugene gene evgeni ewgeni jewgeni yevgeny
ferdinand ferdi
florian flo
frances fanny fran francesca francisca franziska franzi sissy
franz francis frank frankie francesco francois francisco
frederick fred freddy freddie friedrich fritz frederic fredrik frieder frederik
gabriele gabi gaby gabriela gabrielle
georg george jorg jurgen jorgen jurg schorsch georges jorge giorgio
gerhard gerd gerard gerald geri gerhart
gertrud trude gerti gertrude
gottfried godfrey geoffrey jeff jeffrey
gunter gunther gunt
gustav gus gustave
hans johannes johann johan john jan ivan iwan jean giovanni jack hannes jo johnny juan hanns ian joao
harald harry
harold hal harry henry hank heinrich heinz heiner heini hendrik henrik henri enrico henk
helene lena leni helena helen
helmut helmuth
herbert bert herb
hermann herman armin
hubert bert hubertus
ignaz ignatius ignatz
ingeborg inge inga
irina ira irene
isabella isabel bella isa ysabel
jakob jacob jacques james jim jimmy jamie jago giacomo jakub
jennifer jenny jen
joachim jochen achim jo
johanna hanna jo hannah joanna jane jean joan janet jenny johana hanne
jonathan jonas jon
josef joseph sepp jupp jo joe joey jose giuseppe josip jozef pepi
josefine josephine fine josefa jo josie
julia jule juliane juli julie juliana
julius jules julian
karoline caroline carolin caro carolina line lina
katharina kathi katja kathrin katrin kati karin kathe trina catharina katarina ekaterina jekaterina kate
kerstin kersti
klaus claus nikolaus nick niklas nicolas nicholas nicolai nikolai klas nico nicola colin
konrad conrad kurt conny
lawrence larry lars laurence lorenz laurenz laurent lorenzo lauren
leonhard leo leon leonard lenny leonardo
lothar lothaire
ludwig louis lewis luis lou luigi wiggerl lutz
magdalena lena magda leni madeleine maddy madeline
manfred manni fred
manuela manu
margarete grete gretel margret rita marga greta margarethe gitta margaret maggie meg peggy madge marjorie daisy malgorzata margarita margot
maria marie mia mary mitzi ria marianne marija mariya molly polly may mimi miriam
markus marcus marc mark marco marek
martha patty marta
martin marten martino
martina tina
mathilde tilda matilda tilly maud
matthias matze mathias matthew matt matteo mateusz mathis hias
maximilian max maxi maksim maxim
melanie melli mel
michael michi micha mike mick michel mikhail michail mischa misha mikael miguel michele mitch michal michaela
monika moni monica
moritz maurice morris
natalia natascha natalie natasha natalja nathalie
nicole nicki nicky nicol
oliver olli olivier oli
otto udo
patrick pat paddy patrik patricia
paul paulus pavel pawel paolo pablo pauline paula
peter pete pit pierre pjotr piotr pyotr petr pedro pietro
petra petronella
philipp phil philip philippe felipe filip lipp
rainer reiner
rebecca becky rebekka
reinhard reinhart reinhold
renate reni nate
richard rick dick ricky rich ricardo richie
robert rob bob bobby bert robbie roberto robin rupert
roger rudiger rutger
roland rolli orlando
rosina rosi rosa rose rosemarie rosalie rosalia
rudolf rudi rolf ralf ralph rudolph rudy
sabine bine sabina
samuel sam sammy
sarah sara sally sadie
sebastian basti wastl bastian sebastien
sergej sergei sergey serge sergio
siegfried sigi siggi
silke silvia sylvia silvi
simon simone
sophie sofia sophia sofie fie sonja sonya
stefan steffen stephan steve steven stephen stefano etienne stepan steffi
stefanie steffi stephanie stephie
susanne susi susan suse sanne sue susie susanna suzanne zsuzsanna
svetlana sweta sveta swetlana
theodor theo ted teddy theodore fjodor fedor
theresa resi therese terry teresa tess tessa
thomas tom tommy tomasz tomas thom tommaso
tobias tobi toby
ulrich uli ulli ulrike
ursula uschi ulla ursel
veronika vroni vera veronica
viktoria vicky victoria vicki
vinzenz vincent vince vinnie
vladimir wladimir vova volodymyr
walter walt wally walther wat
wilhelm willi willy william will bill billy wim guillaume guillermo liam guglielmo willem helm
wilhelmine minna mina wilma
wolfgang wolf wolfi
yusuf youssef yousef josef
mohammed muhammad mohamed mehmet mohammad muhammed mahmoud
""".strip().splitlines()


def groups() -> dict[str, frozenset[int]]:
    """The lines each form stands on, by its key spelling.

    Examples:
        >>> bool(groups()["fritz"] & groups()["friedrich"]), bool(groups()["fritz"] & groups()["franz"])
        (True, False)
    """
    found: dict[str, set[int]] = {}
    for number, line in enumerate(_LINES):
        for form in line.split():
            found.setdefault(form, set()).add(number)
    return {form: frozenset(numbers) for form, numbers in found.items()}
